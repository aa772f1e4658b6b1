"""HTTP as both services speak it: one pipeline, one table of paths, one form of errors."""
