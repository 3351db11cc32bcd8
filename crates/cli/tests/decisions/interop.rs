//! The interop scenarios of the OpenID AuthZEN working group: Todo (three drafts), API gateway, search and identity provider.
//! The expected decisions are in the text files beside this one, which name their source.

use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::site::{Host, Served, folder, schema};

const TODO: &str = include_str!("todo.txt");
const ROUTES: &str = include_str!("routes.txt");
const RECORDS: &str = include_str!("records.txt");

/// Who, the identifier that the identity provider gave, the address, and the roles.
const PEOPLE: &[(&str, &str, &str, &str)] = &[
    ("rick", "A2", "rick@the-citadel.com", r#""admin", "evil_genius""#),
    ("morty", "E2", "morty@the-citadel.com", r#""editor""#),
    ("summer", "I2", "summer@the-smiths.com", r#""editor""#),
    ("beth", "M2", "beth@the-smiths.com", r#""viewer""#),
    ("jerry", "Q2", "jerry@the-smiths.com", r#""viewer""#),
];

const TODO_POLICY: &str = r#"
@id("everybody") @reason("everybody sees users and todos")
permit (principal, action in [
    Refmon::Action::"user/can_read_user@1", Refmon::Action::"todo/can_read_todos@1", Refmon::Action::"route/GET@1",
], resource);

@id("editors") @reason("editors make todos, and change their own")
permit (principal, action in [
    Refmon::Action::"todo/can_create_todo@1", Refmon::Action::"todo/can_update_todo@1",
    Refmon::Action::"todo/can_delete_todo@1",
], resource)
when {
    context.args has subject && context.args.subject has roles &&
    context.args.subject.roles.containsAny(["editor", "admin", "evil_genius"])
}
when {
    action == Refmon::Action::"todo/can_create_todo@1" ||
    (context.args has resource && context.args.resource has ownerID && context.args.subject has email &&
     context.args.resource.ownerID == context.args.subject.email)
};

@id("admins") @reason("administrators delete everything")
permit (principal, action == Refmon::Action::"todo/can_delete_todo@1", resource)
when {
    context.args has subject && context.args.subject has roles && context.args.subject.roles.contains("admin")
};

@id("geniuses") @reason("evil geniuses change everything")
permit (principal, action == Refmon::Action::"todo/can_update_todo@1", resource)
when {
    context.args has subject && context.args.subject has roles && context.args.subject.roles.contains("evil_genius")
};

@id("routes") @reason("editors use the routes that change something")
permit (principal, action in [
    Refmon::Action::"route/POST@1", Refmon::Action::"route/PUT@1", Refmon::Action::"route/DELETE@1",
], resource)
when {
    context.args has subject && context.args.subject has roles &&
    context.args.subject.roles.containsAny(["editor", "admin", "evil_genius"])
};
"#;

fn pid(person: &str) -> String {
    let (_, part, ..) = PEOPLE.iter().find(|(name, ..)| *name == person).unwrap();
    format!("CiRmZD{part}MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs")
}

fn address(person: &str) -> &'static str {
    PEOPLE.iter().find(|(name, ..)| *name == person).unwrap().2
}

/// What stands for an action in the matrix of records.
fn initial(action: &str) -> &str {
    action.get(..1).unwrap()
}

fn lines(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').collect())
}

fn todo_site() -> Gateway {
    let text = json!({ "type": "string" });
    let roles = json!({ "type": "array", "items": text });
    let schema = schema(&json!({ "ownerID": text }), &json!({}), &json!({ "roles": roles, "email": text }));
    let tools = ["can_read_todos", "can_create_todo", "can_update_todo", "can_delete_todo"].map(|tool| (tool, ""));
    let servers = [
        Served { name: "user", tools: &[("can_read_user", "")], schema: schema.clone() },
        Served { name: "todo", tools: &tools, schema: schema.clone() },
        Served { name: "route", tools: &["GET", "POST", "PUT", "DELETE"].map(|tool| (tool, "")), schema },
    ];
    let mut directory = String::new();
    for (name, _, address, roles) in PEOPLE {
        for (kind, id) in [("user", (*address).to_owned()), ("user", pid(name)), ("identity", pid(name))] {
            directory.push_str(&format!(
                "[[subject]]\ntype = \"{kind}\"\nid = \"{id}\"\nproperties = {{ roles = [{roles}], email = \"{address}\" }}\n"
            ));
        }
    }
    // The first draft had the owner beside `properties`, where 1.0 looks at nothing: there the directory says whose it is.
    let mut owned: Vec<(&str, &str)> =
        lines(TODO).filter(|case| case[5] != "-").map(|case| (case[4], case[5])).collect();
    owned.sort_unstable();
    owned.dedup();
    for (todo, owner) in owned {
        let owner = address(owner);
        directory.push_str(&format!(
            "[[resource]]\ntype = \"todo\"\nid = \"{todo}\"\nproperties = {{ ownerID = \"{owner}\" }}\n"
        ));
    }
    Gateway::over(folder(&servers, TODO_POLICY, &directory, ""))
}

fn resource(draft: &str, case: &[&str]) -> Value {
    let mut resource = json!({ "type": case[3], "id": case[4] });
    if case[5] != "-" {
        let owner = json!(address(case[5]));
        if draft == "00" {
            resource["ownerID"] = owner;
        } else {
            resource["properties"] = json!({ "ownerID": owner });
        }
    }
    resource
}

#[test]
fn the_todo_scenario_of_every_draft() {
    let gateway = todo_site();
    let host = Host::new(&gateway, "local", &["refmon:decide"]);
    let mut asked = 0;
    let mut batches: Vec<(Value, Vec<Value>)> = Vec::new();
    for case in lines(TODO) {
        let (draft, who, expected) = (case[0], case[1], case[6] == "yes");
        let subject = match draft {
            "00" => json!({ "type": "user", "id": address(who), "identity": pid(who) }),
            _ => json!({ "type": "user", "id": pid(who) }),
        };
        let action = json!({ "name": case[2] });
        let resource = resource(draft, &case);
        if draft == "02+" {
            let body = json!({ "subject": subject, "action": action, "evaluations": [] });
            if batches.last().is_none_or(|(last, _)| last["subject"] != subject) {
                batches.push((body, Vec::new()));
            }
            let (batch, answers) = batches.last_mut().unwrap();
            batch["evaluations"].as_array_mut().unwrap().push(json!({ "resource": resource }));
            answers.push(json!(expected));
            continue;
        }
        let body = json!({ "subject": subject, "action": action, "resource": resource });
        assert_eq!(host.decides(&body), expected, "{case:?}");
        asked += 1;
    }
    for (body, expected) in &batches {
        let (status, answer) = host.post("/access/v1/evaluations", body);
        let decisions: Vec<Value> =
            answer["evaluations"].as_array().unwrap().iter().map(|one| one["decision"].clone()).collect();
        assert_eq!((status, &decisions), (200, expected), "{body}");
    }
    assert_eq!((asked, batches.len()), (120, 3));
}

#[test]
fn the_api_gateway_scenario() {
    let gateway = todo_site();
    let host = Host::new(&gateway, "local", &["refmon:decide"]);
    let mut asked = 0;
    for case in lines(ROUTES) {
        let body = json!({
            "subject": { "type": "identity", "id": pid(case[0]) },
            "action": { "name": case[1] },
            "resource": { "type": "route", "id": case[2] },
        });
        assert_eq!(host.decides(&body), case[3] == "yes", "{case:?}");
        asked += 1;
    }
    assert_eq!(asked, 25);
}

const RECORDS_POLICY: &str = r#"
@id("owners") @reason("owners do everything")
permit (principal, action, resource)
when { context.args has resource && context.args.resource has owner && context.args has subject }
when { context.args.subject has name && context.args.resource.owner == context.args.subject.name };

@id("department") @reason("people see what their department has")
permit (principal, action == Refmon::Action::"record/view@1", resource)
when { context.args has resource && context.args.resource has department && context.args has subject }
when { context.args.subject has department && context.args.resource.department == context.args.subject.department };

@id("managers-view") @reason("managers see everything")
permit (principal, action == Refmon::Action::"record/view@1", resource)
when { context.args has subject && context.args.subject has role && context.args.subject.role == "manager" };

@id("managers-edit") @reason("managers change what their department has")
permit (principal, action == Refmon::Action::"record/edit@1", resource)
when { context.args has subject && context.args.subject has role && context.args.subject.role == "manager" }
when { context.args has resource && context.args.resource has department && context.args.subject has department }
when { context.args.resource.department == context.args.subject.department };
"#;

#[test]
fn the_search_and_identity_provider_scenarios() {
    let text = json!({ "type": "string" });
    let schema = schema(
        &json!({ "owner": text, "department": text }),
        &json!({}),
        &json!({ "role": text, "department": text, "name": text }),
    );
    let server = Served { name: "record", tools: &["view", "edit", "delete"].map(|tool| (tool, "")), schema };
    let mut directory = String::new();
    let mut records = Vec::new();
    let mut users: Vec<&str> = Vec::new();
    for line in lines(RECORDS) {
        match line[0] {
            "record" => users = line[3..].to_vec(),
            "user" => directory.push_str(&format!(
                "[[subject]]\ntype = \"user\"\nid = \"{0}\"\nproperties = {{ name = \"{0}\", role = \"{1}\", department = \"{2}\" }}\n",
                line[1], line[2], line[3]
            )),
            id => {
                directory.push_str(&format!(
                    "[[resource]]\ntype = \"record\"\nid = \"{id}\"\nproperties = {{ department = \"{}\", owner = \"{}\" }}\n",
                    line[1], line[2]
                ));
                records.push((id, line[3..].to_vec()));
            }
        }
    }
    let gateway = Gateway::over(folder(&[server], RECORDS_POLICY, &directory, ""));
    let host = Host::new(&gateway, "local", &["refmon:decide"]);
    let user = |id: &str| json!({ "type": "user", "id": id });
    let record = |id: &str| json!({ "type": "record", "id": id });
    let mut asked = 0;
    for (at, who) in users.iter().enumerate() {
        for (id, may) in &records {
            let mut expected: Vec<&str> = ["delete", "edit", "view"].to_vec();
            expected.retain(|action| may[at].contains(initial(action)));
            let body = json!({ "subject": user(who), "resource": record(id) });
            assert_eq!(host.finds("action", &body), expected, "{who} {id}");
            asked += 1;
        }
        for action in ["view", "edit", "delete"] {
            let mut expected: Vec<&str> =
                records.iter().filter(|(_, may)| may[at].contains(initial(action))).map(|(id, _)| *id).collect();
            expected.sort_unstable();
            let body = json!({ "subject": user(who), "action": { "name": action }, "resource": { "type": "record" } });
            // The identity provider asks the same for `delete`.
            assert_eq!(host.finds("resource", &body), expected, "{who} {action}");
            asked += 1;
        }
    }
    for (id, may) in &records {
        for action in ["view", "edit", "delete"] {
            let may = users.iter().zip(may).filter(|(_, may)| may.contains(initial(action)));
            let expected: Vec<&str> = may.map(|(who, _)| *who).collect();
            let body = json!({ "resource": record(id), "action": { "name": action }, "subject": { "type": "user" } });
            assert_eq!(host.finds("subject", &body), expected, "{id} {action}");
            asked += 1;
        }
    }
    assert_eq!(asked, 120 + 18 + 60);
    // A search leaves nothing behind.
    assert!(crate::site::records(&gateway, &["--kind", "attempt"]).is_empty());
}
