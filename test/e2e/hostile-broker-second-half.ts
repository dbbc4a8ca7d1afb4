/** Every second attack. */
import './hostile-broker.ts'
