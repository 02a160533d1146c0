#include "cuda_connect.cu"
void *instances[] = {
(void *)fd_connect_forward_kernel<float, false>,
(void *)fd_connect_forward_kernel<float, true>,
(void *)fd_connect_gradient_kernel<float, false, 2>,
(void *)fd_connect_gradient_kernel<float, true, 4>,
(void *)fd_connect_forward_kernel<double, false>,
(void *)fd_connect_forward_kernel<double, true>,
(void *)fd_connect_gradient_kernel<double, false, 2>,
(void *)fd_connect_gradient_kernel<double, true, 4>};
