"""Tables: where a lookup finds rows."""
