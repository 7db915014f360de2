/* schemadoc.c - print a schema as Markdown; `make docs` keeps docs/messages.md, docs/verdicts.md and docs/techniques.md current. */
#include <stdio.h>
#include <string.h>

/* clang-format off */
static void messages(void)
{
    puts("# Messages\n\nGenerated from schemas/messages.def by `make docs`.");
#define MSG(name, doc) puts("\n## " #name "\n\n" doc ".\n");
#define ROUTE(from, to) puts("- " #from " -> " #to);
#define FIELD(kind, name) puts("- `" #name "` " #kind);
#define OPT(kind, name) puts("- `" #name "` " #kind ", optional");
#define TEXT(name, max) puts("- `" #name "` text, at most " #max " bytes");
#define BLOB(name, max) puts("- `" #name "` bytes, at most " #max);
#include "schemas/messages.def"
}

static void verdicts(void)
{
    puts("# Verdicts\n\nGenerated from schemas/verdicts.def by `make docs`.  A verdict says why an "
         "outcome is what it is.\n\n| verdict | cause | remedy |\n| --- | --- | --- |");
#define VERDICT(id, name, cause, remedy) puts("| `" name "` | " cause " | " remedy " |");
#include "schemas/verdicts.def"
    puts("\n# Kinds\n\nGenerated from schemas/kinds.def.  A failure's `kind` says what sort of thing went "
         "wrong; `natterjack stats` counts\nfailed sessions by it.\n\n| kind | when |\n| --- | --- |");
#define KIND(name, when) puts("| `" name "` | " when " |");
#include "schemas/kinds.def"
}

/* As commands print it: the schema's names are identifiers. */
static void put_name(const char *id)
{
    for (; *id; id++)
        putchar(*id == '_' ? '-' : *id);
}

static void techniques(void)
{
    puts("# Techniques\n\nGenerated from schemas/efforts.def by `make docs`: what each way of opening a direct path may take.  "
         "The NATs of a pair choose it (`lib/strategy.c`).\n\nIt is tried for so many round trips, within the bounds given; one side opens so "
         "many sockets; the other one tries so many ports of its ip in ten minutes, at 500 a second.  A session that is on the relay tries again after the pause, "
         "which doubles up to the bound.\n\n| technique | when | round trips | within ms | sockets | ports | again after ms | up to |\n"
         "| --- | --- | --- | --- | --- | --- | --- | --- |");
#define EFFORT(id, when, round_trips, span_min_ms, span_max_ms, sockets, ports, again_ms, again_max_ms) \
    fputs("| `", stdout), put_name(#id), puts("` | " when " | " #round_trips " | " #span_min_ms " to " #span_max_ms " | " #sockets " | " #ports " | " #again_ms " | " #again_max_ms " |");
#include "schemas/efforts.def"
}
/* clang-format on */

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "messages") == 0)
        messages();
    else if (argc == 2 && strcmp(argv[1], "verdicts") == 0)
        verdicts();
    else if (argc == 2 && strcmp(argv[1], "techniques") == 0)
        techniques();
    else
        return 2;
    return 0;
}
