#include "workers/cmd_config.h"

#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

const struct cli_option cmd_config_options[] = {
    {.name = "json", .help = "print what is in force as JSON"},
    {.name = "template", .help = "print an annotated settings file with the defaults"},
    {.name = "env", .help = "print the environment variables with the defaults"},
    {.name = "docs", .help = "print the settings as a Markdown table"},
    {0},
};

/* True for the first setting of its section; the table keeps sections together. */
static bool section_starts(int id)
{
    return id == 0 || strcmp(setting_table[id].section, setting_table[id - 1].section) != 0;
}

static void section_heading(FILE *out, int id)
{
    if (section_starts(id))
        fprintf(out, "%s[%s]\n", id ? "\n" : "", setting_table[id].section);
}

/* A settings file that gives these values again. */
static void print_in_force(FILE *out, const struct settings *s)
{
    for (int i = 0; i < SETTING_COUNT; i++) {
        char value[SETTING_TEXT_MAX], origin[320], line[SETTING_TEXT_MAX + 64];
        setting_value(s, (enum setting_id)i, value);
        setting_origin(s, (enum setting_id)i, origin, sizeof origin);
        section_heading(out, i);
        snprintf(line, sizeof line, "%s = %s", setting_table[i].key, value);
        fprintf(out, "%-40s ; %s\n", line, origin);
    }
}

static json_t *value_json(const struct settings *s, int id)
{
    const void *at = (const char *)s + setting_table[id].offset;
    char text[SETTING_TEXT_MAX];
    switch ((enum setting_type)setting_table[id].type) {
    case SETTING_INT:
    case SETTING_POW2:
        return json_integer(*(const int64_t *)at);
    case SETTING_DECIMAL:
        return json_real((double)*(const int64_t *)at / 1000);
    case SETTING_BOOL:
        return json_boolean(*(const bool *)at);
    default:
        setting_value(s, (enum setting_id)id, text);
        json_t *string = json_string(text);
        return string ? string : json_string("(not UTF-8)");
    }
}

/* {"section.key":{"value":…,"origin":"…"},…} */
static int print_json(FILE *out, const struct settings *s)
{
    json_t *all = json_object();
    for (int i = 0; i < SETTING_COUNT; i++) {
        char origin[320];
        setting_origin(s, (enum setting_id)i, origin, sizeof origin);
        json_object_set_new(all, setting_table[i].name,
                            json_pack("{s:o,s:s}", "value", value_json(s, i), "origin", origin));
    }
    int rc = json_dumpf(all, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(all);
    return rc ? CLI_FAILED : CLI_OK;
}

/* Writes `text` as comment lines of at most `width` characters. */
static void print_comment(FILE *out, const char *text, size_t width)
{
    while (*text) {
        size_t n = strlen(text);
        if (n > width)
            for (n = width; n > 1 && text[n] != ' ';)
                n--;
        fprintf(out, "; %.*s\n", (int)n, text);
        text += n;
        text += *text == ' ';
    }
}

static void print_template(FILE *out)
{
    fputs("; Settings of ringtape. Every line below shows a default; remove the ; before key = value to "
          "change it.\n"
          "; A comment starts with ; at the start of a line, or after a space. The environment "
          "(RINGTAPE_SECTION_KEY)\n"
          "; and --set section.key=value win over this file.\n\n",
          out);
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_info *t = &setting_table[i];
        char expected[128];
        setting_expected((enum setting_id)i, expected, sizeof expected);
        section_heading(out, i);
        print_comment(out, t->help, 108);
        fprintf(out, "; Takes %s.\n;%s = %s\n", expected, t->key, t->default_text);
    }
}

static void print_env(FILE *out)
{
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_info *t = &setting_table[i];
        char name[64];
        setting_env_name((enum setting_id)i, name);
        fprintf(out, "# %s", t->help);
        if (*t->alias)
            fprintf(out, " Also %s.", t->alias);
        fprintf(out, "\n#%s=%s\n", name, t->default_text);
    }
}

static void print_docs(FILE *out)
{
    fputs("| setting | takes | default | environment | |\n|---|---|---|---|---|\n", out);
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_info *t = &setting_table[i];
        char name[64], expected[128];
        setting_env_name((enum setting_id)i, name);
        setting_expected((enum setting_id)i, expected, sizeof expected);
        fprintf(out, "| `%s` | %s | %s%s%s | `%s`%s%s%s | %s%s |\n", t->name, expected,
                *t->default_text ? "`" : "", t->default_text, *t->default_text ? "`" : "", name,
                *t->alias ? ", `" : "", t->alias, *t->alias ? "`" : "", t->help,
                t->results ? " Changes results: kept in the journal." : "");
    }
}

int cmd_config(const struct cli_args *args)
{
    bool template = cli_has(args, "template"), env = cli_has(args, "env"), docs = cli_has(args, "docs"),
         json = cli_has(args, "json");
    if (template + env + docs + json > 1)
        return cli_fail(args, CLI_USAGE, "--json, --template, --env and --docs exclude each other");
    if (template || env || docs) {
        (template ? print_template : env ? print_env : print_docs)(args->out);
        return CLI_OK;
    }
    struct settings settings;
    if (cli_load_settings(args, &settings))
        return CLI_USAGE;
    if (json)
        return print_json(args->out, &settings);
    print_in_force(args->out, &settings);
    return CLI_OK;
}
