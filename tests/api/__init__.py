"""HTTP in process: the client, and the sandbox itself."""
