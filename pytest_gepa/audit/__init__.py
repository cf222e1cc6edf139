"""An audit: how much of each prompt the cases notice. State and story, without pytest and without reports."""
