"""The published search spaces written a second time, as plain functions, to check the project's networks against."""
