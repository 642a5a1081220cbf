/* Stands in for python.exe, py.exe and fc.exe: writes down what it is asked for, and makes a .venv of itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

static const char *TOLD[] = {
    "UV_TORCH_BACKEND", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_FIND_LINKS", "UV_CONSTRAINT", "UV_NO_CONFIG",
    "PIP_INDEX_URL", "PIP_TARGET", "PIP_USER", "PYTHONPATH", "PYTHONHOME", "LORA_GUI_HOME", "HTTPS_PROXY",
};

/* as the fc of Windows, which Wine has not */
static int compare(const char *one, const char *other) {
    FILE *a = fopen(one, "rb"), *b = fopen(other, "rb");
    if (!a || !b) return 2;
    for (;;) {
        int x = fgetc(a), y = fgetc(b);
        if (x != y) return 1;
        if (x == EOF) return 0;
    }
}

static void record(int n, char **a) {
    FILE *file = fopen(getenv("RECORD"), "a");
    for (int i = 1; i < n; i++) fprintf(file, i > 1 ? "|%s" : "%s", a[i]);
    for (size_t i = 0; i < sizeof TOLD / sizeof *TOLD; i++)
        if (getenv(TOLD[i])) fprintf(file, "\t%s=%s", TOLD[i], getenv(TOLD[i]));
    fprintf(file, "\n");
    fclose(file);
}

static int make_venv(const char *self, const char *folder) {
    char to[MAX_PATH];
    if (getenv("STUB_READ_ONLY")) return 1;
    CreateDirectoryA(folder, NULL);
    snprintf(to, sizeof to, "%s\\Scripts", folder);
    CreateDirectoryA(to, NULL);
    snprintf(to, sizeof to, "%s\\Scripts\\python.exe", folder);
    return !CopyFileA(self, to, FALSE);
}

int main(int n, char **a) {
    char self[MAX_PATH];
    GetModuleFileNameA(NULL, self, MAX_PATH);
    if (strstr(self, "\\fc.exe")) return compare(a[2], a[3]);
    int k = n > 1 && !strncmp(a[1], "-3", 2); /* py -3.12 ... */
    if (n > 2 + k && !strcmp(a[1 + k], "-c")) return strstr(a[2 + k], "version_info") && getenv("STUB_OLD") ? 1 : 0;
    record(n, a);
    if (n > 3 + k && !strcmp(a[2 + k], "venv")) return make_venv(self, a[3 + k]);
    if (n > 3 && !strcmp(a[2], "pip") && !strcmp(a[3], "config")) {
        if (getenv("STUB_CONFIG")) puts(getenv("STUB_CONFIG"));
        return 0;
    }
    if (n > 2 && getenv("STUB_FAILS") && !strcmp(a[2], getenv("STUB_FAILS"))) return 1;
    if (!strcmp(a[1], "app.py") && getenv("STUB_CODE")) return atoi(getenv("STUB_CODE"));
    return 0;
}
