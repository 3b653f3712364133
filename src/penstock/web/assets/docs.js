"use strict";
// The calls that are not served come last and folded; all others are open.
const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  onComplete: () => ui.layoutActions.show(["operations-tag", "not served"], false),
});
