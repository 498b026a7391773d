"""The compiled inner loops of the cascade models."""
