"""The judgement of each check, on plain facts: nothing here asks AWS."""
