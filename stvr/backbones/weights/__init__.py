"""Trained weights: read in any form, checked, digested, saved."""
