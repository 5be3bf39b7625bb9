"""The only code that knows the insides of singer-sdk: messages, bookmarks, batch files, command line and signals."""
