/* What happens to an element beside being kept or dropped. Shared by C and CUDA. */
#ifndef FASTDROP_OPERATIONS_H
#define FASTDROP_OPERATIONS_H

/* Operand 0 is written, the others are read; in a backward operation the last one is added to. float16 and bfloat16 are
 * computed in float32 and rounded once. */
typedef enum {
    FD_DROPOUT,            /* y = keep(x * scale)                             y, x */
    FD_DROPOUT_ADD,        /* y = keep(x * scale) + residual                  y, x, residual */
    FD_BIAS_RELU,          /* y = keep(relu(x + bias) * scale)                y, x, bias */
    FD_BIAS_GELU,          /* y = keep(gelu(x + bias) * scale)                y, x, bias */
    FD_BIAS_RELU_BACKWARD, /* dx = keep(dy * scale) * relu'(x + bias)         dx, dy, x, bias, sums += dx */
    FD_BIAS_GELU_BACKWARD, /* dx = keep(dy * scale) * gelu'(x + bias)         dx, dy, x, bias, sums += dx */
    FD_OPERATIONS
} fd_operation;

#endif
