// The documentation of the API, drawn by Swagger UI from this process's own description.

window.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null, // nothing is sent anywhere else
});
