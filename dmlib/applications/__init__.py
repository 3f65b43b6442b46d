"""What a trained denoiser is good for: changing, filling, restoring."""
