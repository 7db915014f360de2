/* schemadoc.c - print a schema as Markdown; `make docs` keeps docs/messages.md and docs/verdicts.md current. */
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
/* clang-format on */

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "messages") == 0)
        messages();
    else if (argc == 2 && strcmp(argv[1], "verdicts") == 0)
        verdicts();
    else
        return 2;
    return 0;
}
