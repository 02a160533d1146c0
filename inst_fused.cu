#include "cuda_fused.cu"
void *instances[] = {
(void *)fd_bias_backward_kernel<float, FD_BIAS_RELU_BACKWARD>,
(void *)fd_bias_backward_kernel<float, FD_BIAS_GELU_BACKWARD>,
(void *)fd_softmax_kernel<float, false>,
(void *)fd_softmax_kernel<float, true>,
(void *)fd_bias_backward_kernel<double, FD_BIAS_RELU_BACKWARD>,
(void *)fd_bias_backward_kernel<double, FD_BIAS_GELU_BACKWARD>,
(void *)fd_softmax_kernel<double, false>,
(void *)fd_softmax_kernel<double, true>,
(void *)fd_bias_backward_kernel<fd_float16, FD_BIAS_RELU_BACKWARD>,
(void *)fd_bias_backward_kernel<fd_float16, FD_BIAS_GELU_BACKWARD>,
(void *)fd_softmax_kernel<fd_float16, false>,
(void *)fd_softmax_kernel<fd_float16, true>,
(void *)fd_bias_backward_kernel<fd_bfloat16, FD_BIAS_RELU_BACKWARD>,
(void *)fd_bias_backward_kernel<fd_bfloat16, FD_BIAS_GELU_BACKWARD>,
(void *)fd_softmax_kernel<fd_bfloat16, false>,
(void *)fd_softmax_kernel<fd_bfloat16, true>};
