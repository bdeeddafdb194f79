//! Forms: what is asked, what was typed, and what is wrong with it.

use crate::part;

/// A form that is sent by POST, unless it only asks. What was typed is given back with what is wrong beside it, so that nothing has to be typed twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// Where it goes.
    pub action: String,
    /// Its fields, in order.
    pub fields: Vec<Field>,
    /// Further fields, which most leave as they are: shown on request, or where something is typed there already.
    pub more: Vec<Field>,
    /// The key of the words on its button.
    pub submit: &'static str,
    /// How its button looks.
    pub weight: Weight,
    /// Of the thing that it changes, as the page was drawn: a form of an older one is refused.
    pub generation: Option<String>,
    /// Where whoever changes his mind goes.
    pub back: Option<String>,
    /// What is wrong with the whole of it.
    pub error: Option<String>,
    /// Whether it changes nothing: it is sent by GET, so that what it asks for has an address.
    pub asks: bool,
    /// Sent along as it is, and not shown: what was typed into another form, whose session was over.
    pub kept: Vec<(String, String)>,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name under which it is sent.
    pub name: &'static str,
    /// What is asked; the key of words, or the words themselves.
    pub label: String,
    /// How it is answered.
    pub input: Input,
    /// What was typed, or what holds.
    pub value: String,
    /// How an answer looks.
    pub hint: String,
    /// What is wrong with the answer, and what would be right.
    pub error: Option<String>,
    /// Whether it may not be empty.
    pub required: bool,
}

/// How a field is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A line.
    Line,
    /// A line that is not shown: a token.
    Secret,
    /// A mail address.
    Mail,
    /// Whole numbers.
    Number,
    /// Local date and time, in the reader's zone.
    Moment,
    /// A day.
    Day,
    /// Several lines.
    Text,
    /// One of these.
    Select(Vec<Choice>),
    /// One of these, all of them shown.
    Radio(Vec<Choice>),
    /// Yes or no. The value is `on` for yes.
    Check,
    /// Sent, not shown.
    Hidden,
}

/// One of several answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is sent.
    pub value: String,
    /// What is read.
    pub text: String,
}

impl Field {
    /// A field of one line.
    #[must_use]
    pub fn line(name: &'static str, label: &str) -> Self {
        Self {
            name,
            label: label.to_owned(),
            input: Input::Line,
            value: String::new(),
            hint: String::new(),
            error: None,
            required: false,
        }
    }

    /// With another way to answer.
    #[must_use]
    pub fn input(mut self, input: Input) -> Self {
        self.input = input;
        self
    }

    /// With an answer in it.
    #[must_use]
    pub fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    /// With how an answer looks.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// With what is wrong with the answer.
    #[must_use]
    pub fn error(mut self, error: Option<String>) -> Self {
        self.error = error;
        self
    }

    /// One that may not be empty.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    fn kind(&self) -> &'static str {
        match self.input {
            Input::Secret => "password",
            Input::Mail => "email",
            Input::Moment => "datetime-local",
            Input::Day => "date",
            Input::Check => "checkbox",
            Input::Hidden => "hidden",
            Input::Line | Input::Number | Input::Text | Input::Select(_) | Input::Radio(_) => "text",
        }
    }

    fn is_number(&self) -> bool {
        self.input == Input::Number
    }
}

impl Form {
    /// Whether something is wrong with it.
    pub(crate) fn has_errors(&self) -> bool {
        self.error.is_some() || self.all_fields().any(|(_, field)| field.error.is_some())
    }

    /// With their numbers; the further ones come last.
    fn all_fields(&self) -> impl Iterator<Item = (usize, &Field)> {
        self.fields.iter().chain(&self.more).enumerate()
    }

    /// Whether the further fields are shown from the beginning.
    fn shows_more(&self) -> bool {
        self.more.iter().any(|field| field.error.is_some() || !field.value.is_empty())
    }

    /// A page may have several forms, which ask for things of one name.
    fn id(&self, field: &Field) -> String {
        let path: String =
            self.action.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        format!("f{path}-{}", field.name)
    }

    /// Which notes belong to a field, for those who can't see them beside it.
    fn described(&self, field: &Field) -> String {
        let id = self.id(field);
        let hint = (!field.hint.is_empty()).then(|| format!("{id}-hint"));
        let error = field.error.is_some().then(|| format!("{id}-error"));
        hint.into_iter().chain(error).collect::<Vec<_>>().join(" ")
    }
}

part!(Form, "parts/form.html");

/// Something that can be done with what a page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The key of the words on its button.
    pub label: &'static str,
    /// Where it leads.
    pub href: String,
    /// How it is done.
    pub way: Way,
    /// How it looks.
    pub weight: Weight,
}

/// How an action is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// A page is shown first that says what will happen, or asks for more.
    Ask,
    /// At once.
    Do {
        /// As in [`Form::generation`].
        generation: Option<String>,
    },
}

/// How an action looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weight {
    /// The one that most people look for.
    #[default]
    Main,
    /// One of several.
    Plain,
    /// What can't be taken back.
    Danger,
}

impl Weight {
    fn class(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Plain => "plain",
            Self::Danger => "danger",
        }
    }
}

impl Action {
    /// One that asks first.
    #[must_use]
    pub fn ask(label: &'static str, href: impl Into<String>, weight: Weight) -> Self {
        Self { label, href: href.into(), way: Way::Ask, weight }
    }

    /// One that is done at once.
    #[must_use]
    pub fn act(
        label: &'static str,
        href: impl Into<String>,
        generation: Option<String>,
        weight: Weight,
    ) -> Self {
        Self { label, href: href.into(), way: Way::Do { generation }, weight }
    }
}

/// What can be done with what a page shows, in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actions(pub Vec<Action>);

part!(Actions, "parts/actions.html");
