"""Events as text: blkparse's, and the kernel's trace."""
