"""The policy store: Git commits become releases and signed bundles."""
