# frame/descriptors.c
# Descriptors that came over the count stay open.
s/for (size_t i = 0; i < found; i++) close(came\[i\]);/for (size_t i = 0; i < most; i++) close(came[i]);/
