"""Shipped studies as data (TOML), read by ``autogan_ray.config.study``."""
