"""Images classified by a convolution whose kernels are learnt without labels, by spike timing."""
