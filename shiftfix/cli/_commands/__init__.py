"""The commands, one a file: its options and their help, a call, and what is printed.

Each file has the function, whose signature is the command's, and ``HELP``. The work is done one folder up.
"""
