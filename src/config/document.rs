//! A TOML document as tables whose keys are taken one by one, each with its place.
//!
//! Unlike a derived deserializer, which ends at the first surprise, a [`Table`] notes every wrong type and, when all
//! known keys are taken, every key that is left: all problems of a file are found in one reading.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::Words;
use super::problem::Mistake;
use super::suggestion::suggestion;

/// A mistake and the bytes of the text that it is about.
#[derive(Debug)]
pub(super) struct Complaint {
    pub(super) span: Range<usize>,
    pub(super) mistake: Mistake,
}

/// A table of a document that is being read.
pub(super) struct Table<'text, 'reading> {
    /// `tls.`, or nothing for the document itself.
    prefix: String,
    span: Range<usize>,
    entries: DeTable<'text>,
    known: Vec<&'static str>,
    complaints: &'reading mut Vec<Complaint>,
}

impl<'text, 'reading> Table<'text, 'reading> {
    /// The document itself.
    pub(super) fn document(table: Spanned<DeTable<'text>>, complaints: &'reading mut Vec<Complaint>) -> Self {
        // What is missing in a document is missing at its start.
        Self { prefix: String::new(), span: 0..0, entries: table.into_inner(), known: Vec::new(), complaints }
    }

    /// Takes a key that is a string, an integer and so on; `example` shows how it is written.
    pub(super) fn take<T: Leaf>(&mut self, key: &'static str, example: &'static str) -> Option<Spanned<T>> {
        let value = self.value(key)?;
        match T::read(&value) {
            Ok(leaf) => Some(Spanned::new(value.span(), leaf)),
            Err(wrong) => {
                self.complain_about_type(key, wrong, example);
                None
            }
        }
    }

    /// Takes a key that is a table and reads it with `read`.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        example: &'static str,
        read: impl FnOnce(&mut Table<'text, '_>) -> T,
    ) -> Option<T> {
        let value = self.value(key)?;
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(entries) => Some(self.inner(key, span, entries, read)),
            other => {
                self.complain_about_type(key, WrongType::new(span, &other), example);
                None
            }
        }
    }

    /// Takes a key that is a table, or an array of tables, and reads each with `read`.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        example: &'static str,
        mut read: impl FnMut(&mut Table<'text, '_>) -> T,
    ) -> Option<Vec<T>> {
        let value = self.value(key)?;
        let span = value.span();
        let values: Vec<Spanned<DeValue<'text>>> = match value.into_inner() {
            DeValue::Array(values) => values.into_iter().collect(),
            other => vec![Spanned::new(span, other)],
        };
        let mut tables = Vec::with_capacity(values.len());
        for value in values {
            let span = value.span();
            match value.into_inner() {
                DeValue::Table(entries) => tables.push(self.inner(key, span, entries, &mut read)),
                other => self.complain_about_type(key, WrongType::new(span, &other), example),
            }
        }
        Some(tables)
    }

    /// Takes a key that is a string, or a table that is read with `read`.
    pub(super) fn string_or_table<T>(
        &mut self,
        key: &'static str,
        example: &'static str,
        from_string: impl FnOnce(Spanned<String>) -> T,
        read: impl FnOnce(&mut Table<'text, '_>) -> T,
    ) -> Option<T> {
        let value = self.value(key)?;
        let span = value.span();
        match value.into_inner() {
            DeValue::String(text) => Some(from_string(Spanned::new(span, text.into_owned()))),
            DeValue::Table(entries) => Some(self.inner(key, span, entries, read)),
            other => {
                self.complain_about_type(key, WrongType::new(span, &other), example);
                None
            }
        }
    }

    /// Takes a key that is a table whose keys are its writer's own, and where it is; `example` shows one of them.
    #[expect(clippy::type_complexity, reason = "names and values, each with its place")]
    pub(super) fn entries<T: Leaf>(
        &mut self,
        key: &'static str,
        example: &'static str,
    ) -> Option<(Vec<(Spanned<String>, Spanned<T>)>, Range<usize>)> {
        let value = self.value(key)?;
        let span = value.span();
        let DeValue::Table(entries) = value.get_ref() else {
            self.complain_about_type(key, WrongType::new(span, value.get_ref()), example);
            return None;
        };
        let mut read = Vec::new();
        for (name, value) in entries {
            match T::read(value) {
                Ok(leaf) => {
                    let name = Spanned::new(name.span(), name.get_ref().to_string());
                    read.push((name, Spanned::new(value.span(), leaf)));
                }
                Err(wrong) => self.complain_about_type(&format!("{key}.{}", name.get_ref()), wrong, example),
            }
        }
        Some((read, span))
    }

    /// Where the table begins: the place of what is missing in it.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    fn inner<T>(
        &mut self,
        key: &'static str,
        span: Range<usize>,
        entries: DeTable<'text>,
        read: impl FnOnce(&mut Table<'text, '_>) -> T,
    ) -> T {
        let prefix = format!("{}{key}.", self.prefix);
        let mut table = Table { prefix, span, entries, known: Vec::new(), complaints: self.complaints };
        let value = read(&mut table);
        table.finish();
        value
    }

    fn value(&mut self, key: &'static str) -> Option<Spanned<DeValue<'text>>> {
        self.known.push(key);
        self.entries.remove(key)
    }

    fn complain_about_type(&mut self, key: &str, wrong: WrongType, example: &'static str) {
        let mistake = Mistake::Type { key: format!("{}{key}", self.prefix), found: wrong.found, example };
        self.complaints.push(Complaint { span: wrong.span, mistake });
    }

    /// Notes every key that nobody took.
    pub(super) fn finish(self) {
        for (key, _) in self.entries {
            let known = self.known.iter().map(|known| (*known).to_owned()).collect();
            let suggestion = suggestion(key.get_ref(), self.known.iter().copied());
            let mistake = Mistake::UnknownKey { key: format!("{}{}", self.prefix, key.get_ref()), suggestion, known };
            self.complaints.push(Complaint { span: key.span(), mistake });
        }
    }
}

/// A value, or a part of one, has another type than its key asks for.
pub(super) struct WrongType {
    span: Range<usize>,
    found: &'static str,
}

impl WrongType {
    fn new(span: Range<usize>, value: &DeValue<'_>) -> Self {
        let found = match value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number with a point",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        Self { span, found }
    }
}

/// A value that is not a table.
pub(super) trait Leaf: Sized {
    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, WrongType>;
}

impl Leaf for String {
    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, WrongType> {
        value.get_ref().as_str().map(str::to_owned).ok_or_else(|| WrongType::new(value.span(), value.get_ref()))
    }
}

impl Leaf for bool {
    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, WrongType> {
        value.get_ref().as_bool().ok_or_else(|| WrongType::new(value.span(), value.get_ref()))
    }
}

impl Leaf for i64 {
    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, WrongType> {
        let integer = value.get_ref().as_integer().ok_or_else(|| WrongType::new(value.span(), value.get_ref()))?;
        let digits = integer.as_str();
        // What does not fit is beyond the bounds of every key; which end it is shows in the message only.
        let beyond = if digits.starts_with('-') { i64::MIN } else { i64::MAX };
        Ok(i64::from_str_radix(digits, integer.radix()).unwrap_or(beyond))
    }
}

/// One string, or an array of them.
impl Leaf for Vec<Spanned<String>> {
    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, WrongType> {
        let string = |value| String::read(value).map(|text| Spanned::new(value.span(), text));
        match value.get_ref().as_array() {
            Some(array) => array.iter().map(string).collect(),
            None => Ok(vec![string(value)?]),
        }
    }
}

/// An array of strings, and no string alone.
impl Leaf for Words {
    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, WrongType> {
        if value.get_ref().as_array().is_none() {
            return Err(WrongType::new(value.span(), value.get_ref()));
        }
        Vec::read(value).map(Self)
    }
}

/// One or more values of a unit's property, as systemd writes them.
pub(super) struct Values(pub(super) Vec<String>);

impl Leaf for Values {
    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, WrongType> {
        if let Some(array) = value.get_ref().as_array() {
            return array.iter().map(word).collect::<Result<_, _>>().map(Self);
        }
        word(value).map(|word| Self(vec![word]))
    }
}

fn word(value: &Spanned<DeValue<'_>>) -> Result<String, WrongType> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Boolean(yes) => Ok(if *yes { "yes" } else { "no" }.to_owned()),
        DeValue::Integer(_) => i64::read(value).map(|number| number.to_string()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        other => Err(WrongType::new(value.span(), other)),
    }
}
