"""Code that the generated clients share: the client, the base of models, decoding and errors."""
