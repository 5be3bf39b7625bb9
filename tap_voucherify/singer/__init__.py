"""The only code that knows the insides of singer-sdk.

Messages, bookmarks, batch files, the command line and signals.
"""
