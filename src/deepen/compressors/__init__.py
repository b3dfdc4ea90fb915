"""What makes an exported graph smaller and faster, one technique per file."""
