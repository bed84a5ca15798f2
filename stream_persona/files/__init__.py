"""Files of events: what a file is (``formats``), its rows, and how it is known again."""
