"""Tables: the sources of a lookup's rows."""
