"""HTTP: protocol, middleware, endpoint, routes and their documentation."""
