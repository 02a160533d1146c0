/* Hooks for planted faults, in C, CUDA and Cython: FD_FAULT(name, right, wrong) is `right`. Only
 * tests/faults/build_faults.py defines it otherwise, for `make faults`: then it is `wrong` while the fault of this name
 * is the one that is planted. */
#ifndef FD_FAULT
#define FD_FAULT(name, right, wrong) (right)
#endif
