"""Units of event time, in ms, and how an instant is written."""
