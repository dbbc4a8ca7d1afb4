/** Rows of restrictions.test.ts: ids, capabilities, no_new_privs, securebits. */
import { numberOf, withCapabilities } from '../plan-changes.ts'
import { ended, remove, newPrivs, rootGains, bounding, none } from './row.ts'
import type { Row } from './row.ts'

/** `/proc/self/status` has a mask of 16 digits; CAP_CHOWN is bit 0. */
const onlySysAdmin = /\t0{10}200000$/
const prctl = `${numberOf('prctl')}`
const setSecurebits = '28'
const sets = ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']
export const privileges: readonly Row[] = [
  ...sets.map((set): Row => ({
    name: `capabilities: ${set} is empty`,
    attempt: () => ['status', set],
    without: withCapabilities('CAP_CHOWN'),
    refused: none,
    succeeds: /\t0{15}1$/,
  })),
  {
    name: 'capabilities: no file changes hands',
    attempt: ({ write }) => ['chown', `${write}/file`],
    without: withCapabilities('CAP_CHOWN'),
    refused: ended.EPERM,
    succeeds: 'ok',
  },
  {
    name: 'capabilities: the bounding set holds where uid 0 would bring all',
    attempt: () => ['status', 'CapEff'],
    behind: withCapabilities('CAP_SYS_ADMIN'),
    behindEdits: [...rootGains, ...newPrivs],
    without: bounding,
    refused: onlySysAdmin,
    succeeds: /\t0+1[0-9a-f]*f{4}$/,
  },
  {
    name: 'securebits: uid 0 brings nothing where the bounding set would let it',
    attempt: () => ['status', 'CapEff'],
    behind: withCapabilities('CAP_SYS_ADMIN'),
    behindEdits: [...bounding, ...newPrivs],
    without: rootGains,
    refused: onlySysAdmin,
    succeeds: /\t0+1[0-9a-f]*f{4}$/,
  },
  {
    name: 'securebits: a run that keeps CAP_SETPCAP cannot take them back',
    attempt: () => ['habit', prctl, setSecurebits, '0'],
    behind: withCapabilities('CAP_SETPCAP'),
    without: remove('sandbox/identity.c', ' | SECBIT_NOROOT_LOCKED'),
    refused: '-1',
    succeeds: '0',
    needs: 'CAP_SETPCAP',
  },
  {
    name: 'no_new_privs: nor does it where neither securebits nor bounding set hold',
    attempt: () => ['status', 'CapEff'],
    behind: withCapabilities('CAP_SYS_ADMIN'),
    behindEdits: [...bounding, ...rootGains],
    without: newPrivs,
    refused: onlySysAdmin,
    succeeds: /\t0+1[0-9a-f]*f{4}$/,
  },
  {
    name: 'no_new_privs is set',
    attempt: () => ['status', 'NoNewPrivs'],
    behind: withCapabilities('CAP_SYS_ADMIN'),
    without: newPrivs,
    refused: /\t1$/,
    succeeds: /\t0$/,
  },
  {
    name: 'ids: uid is the action’s',
    attempt: () => ['ids'],
    without: remove(
      'sandbox/identity.c',
      'if (syscall(SYS_setresuid, uid, uid, uid) != 0) child_fail(WIRE_STAGE_IDENTITY);',
      '(void)uid;',
    ),
    refused: '1234 1234 0',
    succeeds: '0 1234 0',
    options: { id: 1234 },
  },
  {
    name: 'ids: gid is the action’s',
    attempt: () => ['ids'],
    without: remove(
      'sandbox/identity.c',
      'if (syscall(SYS_setresgid, gid, gid, gid) != 0) child_fail(WIRE_STAGE_IDENTITY);',
      '(void)gid;',
    ),
    refused: '1234 1234 0',
    succeeds: '1234 0 0',
    options: { id: 1234 },
  },
  {
    name: 'ids: supplementary groups are the action’s',
    attempt: () => ['ids'],
    without: remove(
      'sandbox/identity.c',
      'if (host.privileged && syscall(SYS_setgroups, command->group_count, groups) != 0) child_fail(WIRE_STAGE_IDENTITY);',
      '(void)groups;',
    ),
    refused: '0 0 0',
    succeeds: '0 0 2 27 1000',
  },
]
