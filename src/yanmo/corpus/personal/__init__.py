"""Personal data: found by form and checksum, then masked, replaced by pseudonyms, or refused."""
