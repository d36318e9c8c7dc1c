//! What every operation of the OpenAPI document has in common: security, headers, problem answers.
//!
//! A handler documents what is its own; this adds what `manners`, `body`, `etag` and `idempotency`
//! do for all of them.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, OpenApi, Ref, RefOr, Required, Response,
    ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use shared::api::ProblemDocument;
use shared::id::RunId;

use super::problem::PROBLEM_JSON;

/// The extension that says which role an operation needs.
pub(crate) const X_ROLE: &str = "x-role";

/// The methods that routes have.
pub(crate) const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// Problem answers: status, name, description, and whether an operation has it.
type Common = (&'static str, &'static str, &'static str, fn(&Shape) -> bool);

/// What an operation is, as far as its problem answers go.
struct Shape {
    public: bool,
    body: bool,
    path: bool,
    query: bool,
    changes: bool,
}

const COMMON: [Common; 15] = [
    (
        "400",
        "BadRequest",
        "The request cannot be understood.",
        |_| true,
    ),
    ("401", "Unauthorized", "There is no valid API key.", |o| {
        !o.public
    }),
    ("403", "Forbidden", "The key's role is not enough.", |o| {
        !o.public
    }),
    (
        "404",
        "NotFound",
        "There is none, or none that this key may see.",
        |o| o.path || o.query || o.changes,
    ),
    ("408", "TooSlow", "The body did not come in time.", |o| {
        o.body
    }),
    ("409", "Conflict", "It stands against what is there.", |o| {
        o.changes
    }),
    ("412", "Changed", "The object was changed meanwhile.", |o| {
        o.changes
    }),
    ("413", "TooLarge", "The body is too large.", |o| o.body),
    (
        "415",
        "WrongType",
        "The body's type is not known here.",
        |o| o.body,
    ),
    (
        "422",
        "Invalid",
        "Some values are wrong; `errors` has all of them.",
        |o| o.body || o.changes || o.query,
    ),
    ("429", "TooMany", "Too many requests.", |o| !o.public),
    ("500", "Internal", "Something went wrong here.", |_| true),
    (
        "503",
        "Unavailable",
        "Not ready, busy or shutting down.",
        |_| true,
    ),
    ("507", "StorageFull", "The disk is full.", |o| o.changes),
    ("405", "WrongMethod", "The path has other methods.", |_| {
        false
    }),
];

/// Completes the document.
pub(crate) fn finish(document: &mut OpenApi, version: &str) {
    document.info = InfoBuilder::new()
        .title("Carillon")
        .version(version)
        .description(Some(
            "Saved SIP tests, their runs, what they measured. Authenticate by an API key: \
             `Authorization: Bearer clk_…`. Each operation's `x-role` is the role that it needs. \
             Ids of other organizations and unknown ids are the same 404.",
        ))
        .build();
    let components = document.components.get_or_insert_with(Components::new);
    components.add_security_scheme(
        "bearer",
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some("An API key."))
                .build(),
        ),
    );
    let mut schemas = vec![(
        ProblemDocument::name().into_owned(),
        <ProblemDocument as PartialSchema>::schema(),
    )];
    <ProblemDocument as ToSchema>::schemas(&mut schemas);
    components.schemas.extend(schemas);
    for (_, name, description, _) in COMMON {
        let response = RefOr::T(problem(description));
        components.responses.insert(name.to_owned(), response);
    }
    for (path, item) in &mut document.paths.paths {
        let operations = [
            ("GET", item.get.as_mut()),
            ("POST", item.post.as_mut()),
            ("PUT", item.put.as_mut()),
            ("PATCH", item.patch.as_mut()),
            ("DELETE", item.delete.as_mut()),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                complete(method, path, operation);
            }
        }
    }
}

/// Every operation: method, path, itself.
pub(crate) fn operations(document: &OpenApi) -> Vec<(&'static str, &str, &Operation)> {
    let mut all = Vec::new();
    for (path, item) in &document.paths.paths {
        let operations = [
            ("GET", item.get.as_ref()),
            ("POST", item.post.as_ref()),
            ("PUT", item.put.as_ref()),
            ("PATCH", item.patch.as_ref()),
            ("DELETE", item.delete.as_ref()),
        ];
        let present = operations
            .into_iter()
            .filter_map(|(method, operation)| Some((method, path.as_str(), operation?)));
        all.extend(present);
    }
    all
}

/// The role that an operation says it needs.
pub(crate) fn role(operation: &Operation) -> Option<&str> {
    operation.extensions.as_ref()?.get(X_ROLE)?.as_str()
}

fn complete(method: &str, path: &str, operation: &mut Operation) {
    let public = role(operation) == Some("public");
    let makes = ["201", "202"]
        .iter()
        .any(|status| operation.responses.responses.contains_key(*status));
    let changes = method != "GET";
    let parameters = operation.parameters.get_or_insert_default();
    let query = parameters.iter().any(|parameter| match parameter {
        RefOr::T(parameter) => parameter.parameter_in == ParameterIn::Query,
        RefOr::Ref(_) => false,
    });
    for name in path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    {
        if !parameters.iter().any(|known| is_in_path(known, name)) {
            parameters.push(RefOr::T(id(name)));
        }
    }
    if method == "POST" && !public {
        parameters.push(RefOr::T(header(
            "Idempotency-Key",
            "1 to 255 visible characters of your choice: sent again with the same body, the request \
             makes nothing twice and gets the first answer.",
        )));
    }
    if matches!(method, "PUT" | "PATCH" | "DELETE") {
        parameters.push(RefOr::T(header(
            "If-Match",
            "The ETag as it was read: the object is changed only where it is still that one.",
        )));
    }
    if !public && operation.security.is_none() {
        let bearer = SecurityRequirement::new::<_, [&str; 0], &str>("bearer", []);
        operation.security = Some(vec![bearer]);
    }
    let shape = Shape {
        public,
        body: operation.request_body.is_some(),
        path: path.contains('{'),
        query,
        changes,
    };
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response {
            answer_headers(status, makes, response);
        }
    }
    for (status, name, _, has) in COMMON {
        if has(&shape) {
            let response = RefOr::Ref(Ref::from_response_name(name));
            operation
                .responses
                .responses
                .entry(status.to_owned())
                .or_insert(response);
        }
    }
}

fn answer_headers(status: &str, makes: bool, response: &mut Response) {
    let mut add = |name: &str, description: &str| {
        let header = HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .description(Some(description))
            .build();
        response.headers.insert(name.to_owned(), header.into());
    };
    if status.starts_with('2') {
        add("X-Request-Id", "The request's id, which the log has too.");
    }
    if makes && matches!(status, "201" | "202") {
        add("Location", "Where what was made is.");
        add(
            "Idempotency-Replayed",
            "`true`: this answer was given before.",
        );
    }
}

fn is_in_path(parameter: &RefOr<Parameter>, name: &str) -> bool {
    match parameter {
        RefOr::T(parameter) => {
            parameter.parameter_in == ParameterIn::Path && parameter.name == name
        }
        RefOr::Ref(_) => false,
    }
}

/// A part of the path that a handler did not describe: an id, as nearly all are.
fn id(name: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(format!("The id of the {name}.")))
        .schema(Some(RunId::schema()))
        .build()
}

fn header(name: &str, description: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

fn problem(description: &str) -> Response {
    ResponseBuilder::new()
        .description(description)
        .content(
            PROBLEM_JSON,
            ContentBuilder::new()
                .schema(Some(Ref::from_schema_name(ProblemDocument::name())))
                .build(),
        )
        .build()
}

#[cfg(test)]
mod tests;
