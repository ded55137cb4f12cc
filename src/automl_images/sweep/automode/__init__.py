"""AutoMode: recipes that were measured, those that suit the data and fit the time, and a search around the best."""
