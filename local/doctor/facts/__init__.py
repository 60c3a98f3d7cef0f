"""The facts of each check, as AWS tells them: one function a check, each with as few calls as do."""
