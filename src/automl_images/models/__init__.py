"""The catalogue of networks: names to builders, layer groups, weights and licences."""
