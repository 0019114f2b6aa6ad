"""Makes the files that the package ships but does not need at run time to make."""
