"""The tables and every statement on them. Functions take a connection: autocommitting, or inside a transaction."""
