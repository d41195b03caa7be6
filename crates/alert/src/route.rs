//! The route tree: which rule, which robots and whom to mention for an event.
//!
//! As in Alertmanager: an event enters at the root and takes the first child that matches, then that child's first child
//! that matches, and so on; a child with `continue` lets its later siblings be tried too. A route without a matching child
//! takes the event itself.

use std::collections::HashSet;

use state::{RouteKey, Watch};

use crate::Mention;
use crate::matcher::{Facts, Matcher};
use crate::rule::Rule;

/// The whole tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Routes {
    root: Route,
}

/// One route with everything it inherited.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Its name; by default what it matches, as written.
    pub name: String,
    /// What it takes.
    pub matcher: Matcher,
    /// When it speaks.
    pub rule: Rule,
    /// Names of the robots that speak; none means that alerts are decided and shown, sent nowhere.
    pub robots: Vec<String>,
    /// Whom it mentions instead of those whom the robot mentions; `None` leaves it to the robot.
    pub mention: Option<Mention>,
    /// The tag whose value names an event's owner.
    pub mention_tag: String,
    /// Whether its later siblings are tried too.
    pub continues: bool,
    /// Its children, in order.
    pub children: Vec<Route>,
    path: Vec<String>,
    watch: Watch,
}

/// What the tree makes of an event at one of its routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Names of the routes down to this one, root first.
    pub path: Vec<String>,
    /// Whether it matches.
    pub is_match: bool,
    /// Whether it takes the event itself.
    pub is_taken: bool,
    /// Each condition, what was found for it, and whether it holds.
    pub conditions: Vec<(String, Vec<String>, bool)>,
}

impl Routes {
    /// Makes a tree: gives every route its path and a key that stays the same as long as names and conditions do.
    pub fn new(mut root: Route) -> Self {
        root.place(&[], &mut HashSet::new());
        Self { root }
    }

    /// Returns the root.
    pub fn root(&self) -> &Route {
        &self.root
    }

    /// Returns every route, parents before their children.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        let mut left = vec![&self.root];
        std::iter::from_fn(move || {
            let route = left.pop()?;
            left.extend(route.children.iter().rev());
            Some(route)
        })
    }

    /// Returns the routes that an event takes, at least one.
    pub fn taken_by(&self, facts: &Facts<'_>) -> Vec<&Route> {
        let mut taken = Vec::with_capacity(1);
        self.root.take(facts, &mut taken);
        taken
    }

    /// Returns the route of a key.
    pub fn find(&self, key: RouteKey) -> Option<&Route> {
        self.iter().find(|route| route.key() == key)
    }

    /// Returns every route that was tried for an event, in order.
    pub fn explain(&self, facts: &Facts<'_>) -> Vec<Step> {
        let mut steps = Vec::new();
        self.root.explain(facts, &mut steps);
        steps
    }
}

impl Route {
    /// Returns a root with a rule and no robot.
    pub fn root(rule: Rule) -> Self {
        Self {
            name: ROOT.to_owned(),
            matcher: Matcher::default(),
            robots: Vec::new(),
            mention: None,
            mention_tag: "owner".to_owned(),
            continues: false,
            children: Vec::new(),
            path: Vec::new(),
            watch: rule.watch(RouteKey(0)),
            rule,
        }
    }

    /// Returns a child that inherits everything but its matcher; it must still be put among [`Self::children`].
    pub fn child(&self, name: Option<String>, matcher: Matcher) -> Self {
        Self {
            name: name.unwrap_or_else(|| matcher.to_string()),
            matcher,
            continues: false,
            children: Vec::new(),
            ..self.clone()
        }
    }

    /// Returns the names of the routes down to this one, root first.
    pub fn path(&self) -> &[String] {
        &self.path
    }

    /// Returns what names it in the state.
    pub fn key(&self) -> RouteKey {
        self.watch.route
    }

    /// Returns what must be counted on it.
    pub fn watch(&self) -> Watch {
        self.watch
    }

    fn place(&mut self, parents: &[String], keys: &mut HashSet<RouteKey>) {
        self.path = parents.to_vec();
        self.path.push(self.name.clone());
        let mut key = key_of(&self.path, 0);
        let mut twin = 0;
        while !keys.insert(key) {
            twin += 1;
            key = key_of(&self.path, twin);
        }
        self.watch = self.rule.watch(key);
        for child in &mut self.children {
            child.place(&self.path, keys);
        }
    }

    fn take<'r>(&'r self, facts: &Facts<'_>, taken: &mut Vec<&'r Self>) {
        let before = taken.len();
        for child in &self.children {
            if child.matcher.is_match(facts) {
                child.take(facts, taken);
                if !child.continues {
                    break;
                }
            }
        }
        if taken.len() == before {
            taken.push(self);
        }
    }

    fn explain(&self, facts: &Facts<'_>, steps: &mut Vec<Step>) {
        let at = steps.len();
        steps.push(self.step(facts));
        let mut is_taken = true;
        for child in &self.children {
            if child.matcher.is_match(facts) {
                is_taken = false;
                child.explain(facts, steps);
                if !child.continues {
                    break;
                }
            } else {
                steps.push(child.step(facts));
            }
        }
        steps[at].is_taken = is_taken;
    }

    fn step(&self, facts: &Facts<'_>) -> Step {
        let conditions = self.matcher.explain(facts);
        Step {
            path: self.path.clone(),
            is_match: self.matcher.is_match(facts),
            is_taken: false,
            conditions: conditions
                .map(|(condition, holds)| (condition.to_string(), condition.found(facts), holds))
                .collect(),
        }
    }
}

/// FNV-1a over the names; routes of the same names are told apart by their order.
fn key_of(path: &[String], twin: u32) -> RouteKey {
    let names = path.iter().flat_map(|name| name.bytes().chain([0]));
    let bytes = names.chain(twin.to_be_bytes());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    RouteKey(hash)
}

impl Default for Routes {
    fn default() -> Self {
        Self::new(Route::root(Rule::default()))
    }
}

/// The name of the root: the table it stands in.
const ROOT: &str = "alert";

#[cfg(test)]
mod tests {
    use event::ProjectId;
    use event::model::{Event, Level};

    use super::*;
    use crate::matcher::MatchKey;

    #[test]
    fn an_event_takes_the_first_child_that_matches() {
        let routes = tree();

        assert_eq!(taken(&routes, "production", Level::Error), ["alert / prod"]);
        assert_eq!(
            taken(&routes, "production", Level::Fatal),
            ["alert / prod / fatal"]
        );
        assert_eq!(
            taken(&routes, "staging", Level::Fatal),
            ["alert / staging", "alert / all fatal"]
        );
        assert_eq!(taken(&routes, "staging", Level::Error), ["alert / staging"]);
        assert_eq!(taken(&routes, "dev", Level::Error), ["alert"]);
        assert_eq!(taken(&routes, "dev", Level::Fatal), ["alert / all fatal"]);
    }

    #[test]
    fn a_child_inherits_everything_but_its_matcher_and_children() {
        let mut root = Route::root(Rule::default());
        root.robots = vec!["oncall".to_owned()];
        root.mention_tag = "team".to_owned();
        root.continues = true;

        let child = root.child(None, matcher("environment", "prod*"));

        assert_eq!(child.robots, ["oncall"]);
        assert_eq!(
            (child.mention_tag.as_str(), child.continues),
            ("team", false)
        );
        assert_eq!(child.name, r#"environment = "prod*""#);
    }

    #[test]
    fn keys_stay_when_routes_move_and_differ_for_twins() {
        let routes = tree();
        let mut moved = tree().root;
        moved.children.reverse();
        let moved = Routes::new(moved);
        let mut twins = Route::root(Rule::default());
        twins.children = vec![
            twins.child(None, matcher("level", "error")),
            twins.child(None, matcher("level", "error")),
        ];
        let twins = Routes::new(twins);

        let key = |routes: &Routes, name: &str| {
            routes
                .iter()
                .find(|route| route.name == name)
                .unwrap()
                .key()
        };
        for name in ["alert", "prod", "fatal", "staging"] {
            assert_eq!(key(&routes, name), key(&moved, name), "{name}");
        }
        let keys: HashSet<RouteKey> = twins.iter().map(Route::key).collect();
        assert_eq!(keys.len(), 3);
        assert_eq!(routes.find(key(&routes, "fatal")).unwrap().name, "fatal");
    }

    #[test]
    fn explains_each_route_that_was_tried() {
        let event = event("staging", Level::Error);

        let steps = tree().explain(&facts(&event));

        let told: Vec<(&str, bool, bool)> = steps
            .iter()
            .map(|step| {
                (
                    step.path.last().unwrap().as_str(),
                    step.is_match,
                    step.is_taken,
                )
            })
            .collect();
        let expected = [
            ("alert", true, false),
            ("prod", false, false),
            ("staging", true, true),
            ("all fatal", false, false),
        ];
        assert_eq!(told, expected);
        let (condition, found, holds) = &steps[1].conditions[0];
        assert_eq!(condition, r#"environment = "prod*""#);
        assert_eq!(
            (found.as_slice(), *holds),
            (["staging".to_owned()].as_slice(), false)
        );
    }

    fn tree() -> Routes {
        let mut root = Route::root(Rule::default());
        let mut prod = root.child(Some("prod".to_owned()), matcher("environment", "prod*"));
        prod.children = vec![prod.child(Some("fatal".to_owned()), matcher("level", "fatal"))];
        let mut staging = root.child(Some("staging".to_owned()), matcher("environment", "stag*"));
        staging.continues = true;
        let fatal = root.child(Some("all fatal".to_owned()), matcher("level", "fatal"));
        root.children = vec![prod, staging, fatal];
        Routes::new(root)
    }

    fn taken(routes: &Routes, environment: &'static str, level: Level) -> Vec<String> {
        let event = event(environment, level);
        let taken = routes.taken_by(&facts(&event));
        taken.iter().map(|route| route.path().join(" / ")).collect()
    }

    fn matcher(key: &str, pattern: &str) -> Matcher {
        let key = MatchKey::parse(key).unwrap();
        Matcher::new([(key, [pattern.to_owned()].as_slice())]).unwrap()
    }

    fn event(environment: &'static str, level: Level) -> Event<'static> {
        Event {
            environment: Some(environment.into()),
            level,
            ..Event::default()
        }
    }

    fn facts<'e>(event: &'e Event<'e>) -> Facts<'e> {
        Facts {
            project: ProjectId::from(42),
            project_name: None,
            level: event.level,
            title: "",
            culprit: "",
            event: Some(event),
        }
    }
}
