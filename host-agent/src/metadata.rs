//! Whose a server is and what its owner wishes: from Drover's own metadata in the domain, from an imported file, from Nova's metadata.
//!
//! ```xml
//! <metadata>
//!   <drover:server xmlns:drover="https://drover.dev/xmlns/server/1">
//!     <drover:owner>acme</drover:owner>
//!     <drover:label name="role">db</drover:label>
//!     <drover:live-migration>forbidden</drover:live-migration>
//!     <drover:anti-affinity>web</drover:anti-affinity>
//!     <drover:affinity>cache</drover:affinity>
//!     <drover:resource name="gpu-slots">1</drover:resource>
//!   </drover:server>
//! </metadata>
//! ```
//!
//! The nearest wins, per fact: the domain's own Drover metadata, then the file, then Nova's. Metadata with a mistake never loses
//! the server: what can be understood is taken, and a warning says what could not.

use std::collections::BTreeMap;

use drover_policies::fleet::{Allowance, Labels, OwnerRules, RESOURCE_NAME, Resources, is_resource_name};
use drover_policies::ids::OwnerId;
use roxmltree::Node;
use serde::Deserialize;

/// Drover's namespace in a domain's `<metadata>`.
pub const NAMESPACE: &str = "https://drover.dev/xmlns/server/1";

/// Where Nova says the project and the flavor.
const NOVA: &str = "http://openstack.org/xmlns/libvirt/nova/1.1";

/// What metadata says of a server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// Whose it is.
    pub owner: Option<OwnerId>,
    /// Free words.
    pub labels: Labels,
    /// What its owner wishes.
    pub rules: OwnerRules,
    /// What it takes of its host's resources.
    pub resources: Resources,
}

impl Said {
    /// What this says, and where it says nothing, what the other says.
    #[must_use]
    pub fn or(self, farther: Self) -> Self {
        let mut labels = farther.labels;
        labels.extend(self.labels);
        let mut resources = farther.resources;
        resources.extend(self.resources);
        let nearest =
            |near: std::collections::BTreeSet<String>, far| if near.is_empty() { far } else { near };
        Self {
            owner: self.owner.or(farther.owner),
            labels,
            rules: OwnerRules {
                live_migration: self.rules.live_migration.or(farther.rules.live_migration),
                anti_affinity: nearest(self.rules.anti_affinity, farther.rules.anti_affinity),
                affinity: nearest(self.rules.affinity, farther.rules.affinity),
            },
            resources,
        }
    }
}

/// Reads Drover's metadata out of a domain; `warn` hears of every mistake in it.
pub fn drover(domain: Node<'_, '_>, warn: &mut dyn FnMut(String)) -> Said {
    let mut said = Said::default();
    let Some(server) = metadata(domain, NAMESPACE, "server") else {
        return said;
    };
    for element in server.children().filter(Node::is_element) {
        let text = element.text().unwrap_or_default().trim().to_owned();
        match element.tag_name().name() {
            "owner" => said.owner = owner(&text, warn),
            "label" => match element.attribute("name") {
                Some(name) => drop(said.labels.insert(name.to_owned(), text)),
                None => warn(
                    "a <label> has no name; write <drover:label name=\"role\">db</drover:label>".to_owned(),
                ),
            },
            "resource" => {
                match (element.attribute("name").filter(|name| is_resource_name(name)), text.parse()) {
                    (Some(name), Ok(amount)) => drop(said.resources.insert(name.to_owned(), amount)),
                    (None, _) => {
                        warn(format!("a <resource> has no name, or not a good one; {RESOURCE_NAME}"))
                    }
                    (Some(name), Err(_)) => warn(format!(
                        "<resource name={name:?}> is {text:?}; write a whole number such as <drover:resource name=\"gpu-slots\">1</drover:resource>"
                    )),
                }
            }
            "live-migration" => match text.as_str() {
                "allowed" => said.rules.live_migration = Some(Allowance::Allowed),
                "forbidden" => said.rules.live_migration = Some(Allowance::Forbidden),
                other => {
                    // Said, but not understood: the careful reading is the one that surprises nobody.
                    said.rules.live_migration = Some(Allowance::Forbidden);
                    warn(format!(
                        "<live-migration> is {other:?}, which is taken as \"forbidden\"; write \"allowed\" or \"forbidden\""
                    ));
                }
            },
            "anti-affinity" if !text.is_empty() => drop(said.rules.anti_affinity.insert(text)),
            "affinity" if !text.is_empty() => drop(said.rules.affinity.insert(text)),
            "anti-affinity" | "affinity" => warn("an affinity group has no name".to_owned()),
            other => warn(format!(
                "<{other}> is not known; known are owner, label, live-migration, anti-affinity, affinity and resource"
            )),
        }
    }
    said
}

/// Reads Nova's metadata: the project is the owner, the flavor a label.
pub fn nova(domain: Node<'_, '_>, warn: &mut dyn FnMut(String)) -> Said {
    let mut said = Said::default();
    let Some(instance) = metadata(domain, NOVA, "instance") else {
        return said;
    };
    let named = |name: &'static str| instance.descendants().find(move |node| node.has_tag_name((NOVA, name)));
    if let Some(project) = named("project").and_then(|project| project.attribute("uuid")) {
        said.owner = owner(project, warn);
    }
    if let Some(flavor) = named("flavor").and_then(|flavor| flavor.attribute("name")) {
        said.labels.insert("nova-flavor".to_owned(), flavor.to_owned());
    }
    if let Some(name) = named("name").and_then(|name| name.text()) {
        said.labels.insert("nova-name".to_owned(), name.trim().to_owned());
    }
    said
}

fn metadata<'a, 'i>(
    domain: Node<'a, 'i>,
    namespace: &'static str,
    name: &'static str,
) -> Option<Node<'a, 'i>> {
    let metadata = domain.children().find(|node| node.has_tag_name("metadata"))?;
    metadata.children().find(|node| node.has_tag_name((namespace, name)))
}

fn owner(text: &str, warn: &mut dyn FnMut(String)) -> Option<OwnerId> {
    OwnerId::new(text).map_err(|bad| warn(bad.to_string())).ok()
}

/// An imported file of servers, keyed by uuid or name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Imported(BTreeMap<String, Said>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    owner: Option<OwnerId>,
    #[serde(default)]
    labels: Labels,
    live_migration: Option<Allowance>,
    #[serde(default)]
    anti_affinity: std::collections::BTreeSet<String>,
    #[serde(default)]
    affinity: std::collections::BTreeSet<String>,
    #[serde(default)]
    resources: Resources,
}

impl Imported {
    /// Reads the text of a file:
    ///
    /// ```toml
    /// [web-1]
    /// owner = "acme"
    /// labels = { role = "web" }
    /// live_migration = "forbidden"
    /// anti_affinity = ["web"]
    /// resources = { gpu-slots = 1 }
    /// ```
    ///
    /// # Errors
    /// Says where the text is not as it should be.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        let entries: BTreeMap<String, FileEntry> = toml::from_str(text)?;
        let said = entries.into_iter().map(|(key, entry)| {
            let FileEntry { owner, labels, live_migration, anti_affinity, affinity, resources } = entry;
            let rules = OwnerRules { live_migration, anti_affinity, affinity };
            (key, Said { owner, labels, rules, resources })
        });
        Ok(Self(said.collect()))
    }

    /// What the file says of a server; by its uuid rather than by its name.
    #[must_use]
    pub fn of(&self, uuid: &str, name: &str) -> Said {
        self.0.get(uuid).or_else(|| self.0.get(name)).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use roxmltree::Document;

    use super::*;

    fn read(metadata: &str) -> (Said, Said, Vec<String>) {
        let text = format!("<domain><metadata>{metadata}</metadata></domain>");
        let document = Document::parse(&text).expect("well-formed");
        let mut warnings = Vec::new();
        let mut warn = |text| warnings.push(text);
        let drover = drover(document.root_element(), &mut warn);
        let nova = nova(document.root_element(), &mut warn);
        (drover, nova, warnings)
    }

    #[test]
    fn an_owner_says_all_that_he_can_say() {
        let (said, _, warnings) = read(
            r#"<d:server xmlns:d="https://drover.dev/xmlns/server/1">
                 <d:owner>acme</d:owner><d:label name="role">db</d:label>
                 <d:live-migration>forbidden</d:live-migration>
                 <d:anti-affinity>web</d:anti-affinity><d:anti-affinity>db</d:anti-affinity><d:affinity>cache</d:affinity>
                 <d:resource name="gpu-slots">2</d:resource>
               </d:server>"#,
        );
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(said.resources, Resources::from([("gpu-slots".to_owned(), 2)]));
        assert_eq!(said.owner.expect("an owner").as_str(), "acme");
        assert_eq!(said.labels.get("role").map(String::as_str), Some("db"));
        assert_eq!(said.rules.live_migration, Some(Allowance::Forbidden));
        assert_eq!((said.rules.anti_affinity.len(), said.rules.affinity.len()), (2, 1));
    }

    #[test]
    fn a_mistake_is_told_and_the_rest_is_taken() {
        let (said, _, warnings) = read(
            r#"<d:server xmlns:d="https://drover.dev/xmlns/server/1">
                 <d:owner>two words</d:owner><d:live-migration>no</d:live-migration><d:colour>red</d:colour>
                 <d:affinity>cache</d:affinity><d:resource name="gpu-slots">some</d:resource>
               </d:server>"#,
        );
        assert_eq!(said.owner, None);
        assert_eq!(said.resources, Resources::new());
        assert_eq!(said.rules.live_migration, Some(Allowance::Forbidden), "in doubt not against the owner");
        assert_eq!(said.rules.affinity.len(), 1);
        assert_eq!(warnings.len(), 4, "{warnings:?}");
    }

    #[test]
    fn nova_s_project_is_the_owner() {
        let (_, said, warnings) = read(
            r#"<nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">
                 <nova:name>shop</nova:name><nova:flavor name="m1.small"><nova:memory>512</nova:memory></nova:flavor>
                 <nova:owner><nova:user uuid="u-1">admin</nova:user><nova:project uuid="8a0f">shop</nova:project></nova:owner>
               </nova:instance>"#,
        );
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(said.owner.expect("an owner").as_str(), "8a0f");
        assert_eq!(said.labels.get("nova-flavor").map(String::as_str), Some("m1.small"));
    }

    #[test]
    fn the_nearest_wins_for_each_fact() {
        let near = Said { owner: Some(OwnerId::new("near").expect("a name")), ..Said::default() };
        let far = Imported::parse(
            "[web-1]\nowner = \"far\"\nlabels = { role = \"web\" }\nlive_migration = \"forbidden\"\n",
        )
        .expect("understood")
        .of("no-such-uuid", "web-1");
        let both = near.or(far);
        assert_eq!(both.owner.expect("an owner").as_str(), "near");
        assert_eq!(both.labels.get("role").map(String::as_str), Some("web"));
        assert_eq!(both.rules.live_migration, Some(Allowance::Forbidden));
    }

    #[test]
    fn an_unknown_key_in_the_imported_file_is_refused_by_name() {
        let error = Imported::parse("[web-1]\nower = \"acme\"\n").expect_err("refused");
        assert!(error.to_string().contains("ower"), "{error}");
    }
}
