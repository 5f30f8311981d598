"""Files in, checked values out; every mistake is told with its file and line."""
