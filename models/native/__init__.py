"""The native fast path: C without Python headers, loaded with ctypes; what it cannot do, Python does."""
