//! Prints the public API of a crate, one item per line, from the JSON that rustdoc makes of it:
//!
//! ```text
//! api-list CRATE.json [DEPENDENCY.json]...    the list, and its totals on standard error
//! api-list format                             the version of rustdoc's format that this program reads
//! ```
//!
//! public-api finds the items. This program then leaves out what follows from the rest, so that a
//! list is short enough to be read, and does not change with the compiler or with private modules:
//!
//! - An item that has several paths is listed in full at one, and as `pub use ... as ...` at others.
//! - Derived traits are named at the type. Of other implementations there are only the associated
//!   types and constants. Blanket implementations are omitted. `Send` and `Sync` are listed where
//!   they are missing or depend on a parameter.
//! - A path of the standard library has one module at most, like `io::Error`, and none when the name
//!   is in the prelude. A path of a dependency is the public one if its JSON is given, and otherwise
//!   the crate and the name.

use public_api::{Builder, PublicItem};
use rustdoc_types::{
    Attribute, Crate, FORMAT_VERSION, GenericParamDefKind, Id, Impl, Item, ItemEnum,
};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::error::Error;

/// Names that need no import.
const PRELUDE: &str = " borrow::ToOwned boxed::Box clone::Clone cmp::Eq cmp::Ord cmp::PartialEq \
    cmp::PartialOrd convert::AsMut convert::AsRef convert::From convert::Into convert::TryFrom \
    convert::TryInto default::Default iter::DoubleEndedIterator iter::ExactSizeIterator iter::Extend \
    iter::FromIterator iter::IntoIterator iter::Iterator marker::Copy marker::Send marker::Sized \
    marker::Sync marker::Unpin ops::Drop ops::Fn ops::FnMut ops::FnOnce option::Option \
    result::Result string::String string::ToString vec::Vec ";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((path, dependencies)) = arguments.split_first() else {
        return Err("usage: api-list format | CRATE.json [DEPENDENCY.json]...".into());
    };
    if path == "format" {
        println!("{FORMAT_VERSION}");
        return Ok(());
    }
    let mut public_paths = HashMap::new();
    for dependency in dependencies {
        public_paths.extend(Api::read(dependency)?.public_paths());
    }
    Api::read(path)?.print(&public_paths);
    Ok(())
}

/// What rustdoc and public-api know of a crate.
struct Api {
    krate: Crate,
    items: Vec<PublicItem>,
    /// The path that other items call a type, trait, function or constant by.
    homes: HashMap<Id, String>,
}

/// An item of a module, and all that belongs to it.
#[derive(Default)]
struct Block {
    /// Its line, and those of its fields, variants or trait items.
    lines: Vec<String>,
    /// Methods with their names, under the line of an implementation if that says more than they do.
    inherent: BTreeMap<String, Vec<(String, String)>>,
    /// Associated types and constants under the line of a trait's implementation.
    traits: BTreeMap<String, Vec<String>>,
}

impl Api {
    fn read(path: &str) -> Result<Self, Box<dyn Error>> {
        let text = std::fs::read_to_string(path)?;
        let mut json = serde_json::Deserializer::from_str(&text);
        json.disable_recursion_limit();
        let krate = Crate::deserialize(&mut json)?;
        let items: Vec<_> = Builder::from_rustdoc_json(path)
            .omit_blanket_impls(true)
            .build()?
            .into_items()
            .collect();
        let mut api = Self { krate, items, homes: HashMap::new() };
        api.find_homes();
        Ok(api)
    }

    fn item(&self, id: Id) -> &Item {
        &self.krate.index[&id]
    }

    /// Whether it belongs to a module itself, not to another item.
    fn is_of_module(&self, item: &PublicItem) -> bool {
        let is_module = |id| matches!(self.item(id).inner, ItemEnum::Module(_));
        item.parent_id().is_none_or(is_module)
    }

    /// The shortest path, unless an implementation names another one: `impl Send for PATH` always does.
    fn find_homes(&mut self) {
        let mut homes: HashMap<Id, String> = HashMap::new();
        for item in self.items.iter().filter(|item| self.is_of_module(item)) {
            let path = path(&item.to_string());
            let home = homes.entry(item.id()).or_insert_with(|| path.clone());
            if path.len() < home.len() {
                *home = path;
            }
        }
        for item in &self.items {
            let (Some(parent), ItemEnum::Impl(impl_)) =
                (item.parent_id(), &self.item(item.id()).inner)
            else {
                continue;
            };
            if impl_.is_synthetic
                && let Some((_, of)) = item.to_string().split_once(" for ")
            {
                homes.insert(parent, path(of));
            }
        }
        self.homes = homes;
    }

    /// From the path where an item is defined, maybe in a private module, to the one where it is public.
    fn public_paths(self) -> impl Iterator<Item = (String, String)> {
        let Self { krate, homes, .. } = self;
        homes
            .into_iter()
            .filter_map(move |(id, home)| Some((krate.paths.get(&id)?.path.join("::"), home)))
    }

    /// The lines, with public paths instead of those where a dependency defines its items.
    fn print(&self, public_paths: &HashMap<String, String>) {
        // The first item is the crate.
        let own = path(&self.items[0].to_string());
        let mut blocks: Vec<Block> = Vec::new();
        let mut is_home = true;
        // The lines of the implementations that have one.
        let mut impls: HashMap<Id, String> = HashMap::new();
        for public in &self.items {
            let (id, item) = (public.id(), self.item(public.id()));
            let line = shorten(&public.to_string(), &own, public_paths);
            if self.is_of_module(public) {
                let (home, path) = (&self.homes[&id], path(&public.to_string()));
                is_home = path == *home;
                let line = if is_home {
                    format!("{}{line}", self.derived(item))
                } else {
                    format!("pub use {home} as {path}")
                };
                blocks.push(Block { lines: vec![line], ..Block::default() });
                continue;
            }
            let Some(block) = blocks.last_mut().filter(|_| is_home) else { continue };
            let name = item.name.as_deref().unwrap_or_default();
            if let ItemEnum::Impl(of) = &item.inner {
                // One that is listed at its type is not listed again at its trait.
                if is_listed(item, of) && !impls.contains_key(&id) {
                    if of.trait_.is_some() {
                        block.traits.entry(line.clone()).or_default();
                    }
                    impls.insert(id, line);
                }
                continue;
            }
            match public.parent_id().map(|parent| (parent, &self.item(parent).inner)) {
                Some((_, ItemEnum::Impl(of))) if of.trait_.is_none() && !has_bounds(of) => {
                    block.inherent.entry(String::new()).or_default().push((name.into(), line));
                }
                Some((parent, ItemEnum::Impl(of))) if of.trait_.is_none() => {
                    let of_impl = impls[&parent].clone();
                    block.inherent.entry(of_impl).or_default().push((name.into(), line));
                }
                Some((parent, ItemEnum::Impl(_))) => {
                    // Of `pub type ws_core::Text::Target = str`, the trait decides all but the end.
                    let lines = impls.get(&parent).and_then(|of| block.traits.get_mut(of));
                    if let Some(lines) = lines
                        && let Some(at) = line.find(&format!("::{name}"))
                        && !matches!(item.inner, ItemEnum::Function(_))
                    {
                        let kind = line.split(' ').nth(1).unwrap_or_default();
                        lines.push(format!("    {kind} {}", &line[at + 2..]));
                    }
                }
                _ => block.lines.push(line),
            }
        }
        for block in blocks {
            block.print();
        }
        let (functions, types) = self.totals();
        let name = own.replace('_', "-");
        eprintln!("{name} has {functions} public functions and {types} public types");
    }

    /// How many functions there are besides those that implement a trait, and how many structs, enums,
    /// unions and traits.
    fn totals(&self) -> (usize, usize) {
        let (mut functions, mut types) = (HashSet::new(), HashSet::new());
        for public in &self.items {
            let id = public.id();
            let parent = public.parent_id().map(|parent| &self.item(parent).inner);
            let implements = matches!(parent, Some(ItemEnum::Impl(of)) if of.trait_.is_some());
            match self.item(id).inner {
                ItemEnum::Function(_) if !implements => _ = functions.insert(id),
                ItemEnum::Struct(_)
                | ItemEnum::Enum(_)
                | ItemEnum::Union(_)
                | ItemEnum::Trait(_) => _ = types.insert(id),
                _ => {}
            }
        }
        (functions.len(), types.len())
    }

    /// `#[derive(...)] `, if anything is.
    fn derived(&self, item: &Item) -> String {
        let impls = match &item.inner {
            ItemEnum::Struct(of) => &of.impls,
            ItemEnum::Enum(of) => &of.impls,
            ItemEnum::Union(of) => &of.impls,
            _ => return String::new(),
        };
        let mut names: Vec<&str> = impls
            .iter()
            .map(|&id| self.item(id))
            .filter(|item| item.attrs.contains(&Attribute::AutomaticallyDerived))
            .filter_map(|item| match &item.inner {
                ItemEnum::Impl(Impl { trait_: Some(of), .. }) => of.path.rsplit("::").next(),
                _ => None,
            })
            .filter(|&name| name != "StructuralPartialEq")
            .collect();
        names.sort_unstable();
        if names.is_empty() { String::new() } else { format!("#[derive({})] ", names.join(", ")) }
    }
}

impl Block {
    fn print(self) {
        for line in self.lines {
            println!("{line}");
        }
        for (of_impl, mut methods) in self.inherent {
            if !of_impl.is_empty() {
                println!("{of_impl}");
            }
            methods.sort();
            for (_, line) in methods {
                println!("{line}");
            }
        }
        for (of_impl, mut lines) in self.traits {
            lines.sort();
            println!("{of_impl}");
            for line in lines {
                println!("{line}");
            }
        }
    }
}

/// Whether the implementation has a parameter other than a lifetime: its methods do not say the bounds of that.
fn has_bounds(of: &Impl) -> bool {
    let is_type = |kind: &_| !matches!(kind, GenericParamDefKind::Lifetime { .. });
    !of.generics.where_predicates.is_empty()
        || of.generics.params.iter().any(|it| is_type(&it.kind))
}

/// Whether the implementation of a trait has a line: a derived one is named at the type.
fn is_listed(item: &Item, of: &Impl) -> bool {
    if of.is_synthetic {
        let name = of.trait_.as_ref().and_then(|of| of.path.rsplit("::").next());
        return matches!(name, Some("Send" | "Sync"))
            && (of.is_negative || !of.generics.where_predicates.is_empty());
    }
    !item.attrs.contains(&Attribute::AutomaticallyDerived)
}

fn is_of_path(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == ':'
}

/// The first path in the text of an item. What has only a name is the crate.
fn path(text: &str) -> String {
    let words = || text.split(|c| !is_of_path(c));
    let found = words().find(|word| word.contains("::")).or_else(|| words().next_back());
    found.unwrap_or_default().to_owned()
}

/// The line with shorter paths of all crates but its own.
fn shorten(line: &str, own: &str, public_paths: &HashMap<String, String>) -> String {
    let mut short = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.find(|c| !is_of_path(c)).unwrap_or(rest.len()));
        // The colon of a bound is none of a path.
        let path = word.trim_end_matches(':');
        match path.split("::").collect::<Vec<_>>()[..] {
            ["core" | "alloc" | "std", module, .., name] => {
                let with_module = format!("{module}::{name}");
                let is_known = PRELUDE.contains(&format!(" {with_module} "));
                short.push_str(if is_known { name } else { &with_module });
            }
            [krate, _, .., name] if krate != own && !krate.is_empty() => {
                let crate_and_name = format!("{krate}::{name}");
                short.push_str(public_paths.get(path).unwrap_or(&crate_and_name));
            }
            _ => short.push_str(path),
        }
        short.push_str(&word[path.len()..]);
        let other = after.find(is_of_path).unwrap_or(after.len());
        short.push_str(&after[..other]);
        rest = &after[other..];
    }
    short
}
