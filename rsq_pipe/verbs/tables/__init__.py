"""Tables: what lookup finds rows in."""
