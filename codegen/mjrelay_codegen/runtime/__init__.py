"""What the generated clients share: the client, the models' base, the decoding, the errors."""
