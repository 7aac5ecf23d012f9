"""One typed tree of settings: file, environment, units, and where each value comes from."""
