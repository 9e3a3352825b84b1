"""Digits seen and heard, learnt without labels by spike timing."""
