"""Single modules, without a process or a server; the folders mirror the package."""
